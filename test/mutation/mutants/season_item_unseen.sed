# src/mission/season.sql
# who changes an item does not hear of the season that is being published with it
# isolation/seasons
/UPDATE economy\.items i SET active/,/season_items/s/WHERE i\.item_id = season/WHERE false AND i.item_id = season/; s/^           OR i\.item_id = ANY \(economy_internal\.season_items\(season -> .tracks.\)\);/           OR false;/
