# src/shop/fulfilment.sql
# who has lost the lease fulfils what another one has
# pgtap/fulfilment.sql
s/= 0 AND f\.visible_at > at$/= 0 AND f.visible_at < at/
