# src/shop/fulfilment.sql
# who has lost the lease fulfils what another one has
# pgtap/fulfilment.sql
s/f\.visible_at > at AND f\.worker <>/f.visible_at < at AND f.worker <>/
