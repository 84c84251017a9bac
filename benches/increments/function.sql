\set caller random(1, :callers)
select * from increment_usage_if_allowed((select id from callers where :column = :caller));
