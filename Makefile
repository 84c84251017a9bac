# The two that set everything up on a fresh machine with Rust (and the C compiler that Rust links
# with): `make demo` and `make test`. Both first see to PostgreSQL's server binaries; neither
# touches a server that it did not start.

CARGO ?= cargo
export CARGO
# Statements are checked against .sqlx, whatever database the environment talks about.
unexport DATABASE_URL

# Cargo's tests of the units need root; what is built belongs to whoever builds it.
ifneq ($(shell id -u),0)
AS_ROOT := --config 'target."cfg(unix)".runner = ["sudo", "-n"]'
endif

.PHONY: demo test test-systemd lint docs bench bench-page deb

# A sample company through several months, in a private cluster of its own.
demo:
	@scripts/postgresql-binaries >/dev/null
	$(CARGO) run --locked --release --quiet -- demo

# Everything that must hold before a change is merged. The tests come last, so that their result
# lines are the last ones.
test: lint docs
	scripts/systemd-tools
	@scripts/aiosmtpd >/dev/null
	@scripts/chromium >/dev/null
	@scripts/pgbouncer >/dev/null
	scripts/with-postgresql sh -ec 'scripts/statement-metadata --check; $$CARGO test --locked --no-fail-fast'

# The units under a real systemd, booted in namespaces of its own. Needs root, or a sudo that asks
# nothing; touches nothing of the machine's own systemd.
test-systemd:
	scripts/systemd-tools
	@scripts/postgresql-binaries >/dev/null
	$(CARGO) test --locked --test systemd $(AS_ROOT) -- --test-threads=2

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --quiet

# Measured as it would run: every commit waits for the disk. (The rollover's bench starts a private
# cluster of its own.)
bench:
	PERIODD_TEST_FSYNC=on scripts/with-postgresql $(CARGO) bench --locked

# The same, kept as docs/benchmarks.md.
bench-page:
	$(CARGO) bench --locked --bench boundaries
	PERIODD_TEST_BINARIES=$$(scripts/postgresql-binaries) \
		$(CARGO) bench --locked --bench rollover -- --write

# A Debian package of the release binary, with dpkg-deb alone.
deb:
	$(CARGO) build --locked --release --quiet
	@scripts/debian-package target/release/periodd
