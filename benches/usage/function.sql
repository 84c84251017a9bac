\set caller random(1, :callers)
select * from increment_usage_if_allowed(md5(':whose-' || :caller)::uuid);
