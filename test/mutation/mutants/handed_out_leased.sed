# src/shop/fulfilment.sql
# what a worker has is handed to the next
# pgtap/fulfilment.sql
s/WHERE f\.visible_at <= \(SELECT c\.at FROM clock c\)$/WHERE f.visible_at < 'infinity'/
