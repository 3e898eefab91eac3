# src/reward/daily.c
# what a day of the calendar gives takes the room of the freezes that the claim uses, and the account keeps them
# pgtap/streak_freezes.sql
s/account->freezes = c\.after\.freezes;/account->freezes += 0;/
