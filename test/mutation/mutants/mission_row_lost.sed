# src/mission/observe.c
# progress that finds no room in the account is written nowhere
# pgtap/missions.sql
s/^		if \(o\.progress\.has_row\)$/		if (false)/
