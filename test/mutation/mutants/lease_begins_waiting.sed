# src/shop/fulfilment.sql
# the lease of a purchase begins before its table was waited for
# isolation/fulfilment
/^    until CONSTANT interval :=/i\    began CONSTANT timestamptz := economy.now();
s/SELECT economy.now\(\) AS at/SELECT began AS at/
