# src/account/missions.sql
# the job that claims missions waits for who is in a call
# isolation/missions
/who is in a call now keeps nobody waiting/,/CONTINUE/s/ SKIP LOCKED//
