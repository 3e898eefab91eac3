# src/shop/refund.sql
# units of a refund are lost when others have all slots of the stock
# isolation/refund
s/(return_stock\(product_id, units, slot, )true/\1false/
