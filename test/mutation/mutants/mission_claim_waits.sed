# src/account/missions.sql
# a second claim waits for the first
# isolation/missions
s/answer\.retry_after_ms := economy_internal\.claim_is_busy\(user_id, mission, key\);/answer.retry_after_ms := NULL;/
