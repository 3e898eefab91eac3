# src/account/missions.sql
# a claim reads progress before it has the account
# isolation/missions
s/ WHERE a.user_id = claim_mission.user_id FOR NO KEY UPDATE;/ WHERE a.user_id = claim_mission.user_id;/
