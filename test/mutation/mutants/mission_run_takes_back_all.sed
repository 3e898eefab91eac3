# src/mission/observe.c
# a refund of an earlier run is taken off the one that is under way
# pgtap/mission_kinds.sql
s/^	+ *mission->cycle.anew != ECO_ANEW_BY_CALENDAR\)\)$/						   false))/
