# src/core/draw.c
# a word that is too large is taken all the same
# unit
s/while \(word > UINT64_MAX - beyond\)/while (false)/
