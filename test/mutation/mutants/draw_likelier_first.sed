# src/core/draw.c
# a word that is too large is taken all the same
# unit
s/UINT64_MAX - beyond\)/UINT64_MAX - beyond \/ of)/
