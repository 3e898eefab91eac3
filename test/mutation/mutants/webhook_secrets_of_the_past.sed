# src/settle/webhook.c
# secrets are those that the transaction sees
# tap/850_webhooks.pl
s/eco_tables_open\(ECO_READ_LATEST, tables\)/eco_tables_open(ECO_READ, tables)/
