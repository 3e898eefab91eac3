# src/core/rfm.c
# the day after a rule's last day of recency is not looked at
# unit
s/program->rules\[i\].recency_to \+ 1\)/program->rules[i].recency_to)/
