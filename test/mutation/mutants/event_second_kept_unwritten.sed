# src/event/event.c
# a second that no envelope can name is taken for written
# pgtap/events.sql
s/if \(!format_second\(time - fraction, text\)\)/if (!format_second(kept = time - fraction, text))/
