# tools/economy_tail/output.c
# economy_tail prints U+0080 as it is
# tap/800_tail.pl
s/next >= 0x80 && next < 0xa0/next > 0x80 \&\& next < 0xa0/
