# src/event/event.c
# the relay tells another level than an action, a purchase or a draw led to
# tap/585_relay_rows.pl
s/step->before, step->after, listener\)/step->before, step->after + (step != \&now), listener)/
