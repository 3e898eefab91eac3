# src/mission/season.sql
# XP of a season can be made tradable
# pgtap/seasons.sql
s/WHEN \(NEW\.consumable OR NEW\.tradable\)/WHEN (NEW.consumable)/
