\x
SELECT * FROM flowmaestro.stats;
