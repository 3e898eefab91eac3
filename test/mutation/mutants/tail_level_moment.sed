# tools/economy_tail/seen.c
# economy_tail shows an event twice when a level curve changed meanwhile
# unit
s/^\s+"\\"level\\":", "\\"leveled_up\\":"$//
