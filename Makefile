# The two that set everything up on a fresh machine with Rust (and the C compiler that Rust links
# with): `make demo` and `make test`. Both first see to PostgreSQL's server binaries; neither
# touches a server that it did not start.

CARGO ?= cargo
export CARGO
# Statements are checked against .sqlx, whatever database the environment talks about.
unexport DATABASE_URL

.PHONY: demo test lint docs bench bench-page deb

# A sample company through several months, in a private cluster of its own.
demo:
	@scripts/postgresql-binaries >/dev/null
	$(CARGO) run --locked --release --quiet -- demo

# Everything that must hold before a change is merged. The tests come last, so that their result
# lines are the last ones.
test: lint docs
	@scripts/aiosmtpd >/dev/null
	@scripts/chromium >/dev/null
	scripts/with-postgresql sh -ec 'scripts/statement-metadata --check; $$CARGO test --locked --no-fail-fast'

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --quiet

# Measured as it would run: every commit waits for the disk.
bench:
	PERIODD_TEST_FSYNC=on scripts/with-postgresql $(CARGO) bench --locked

# The same, kept as docs/benchmarks.md.
bench-page:
	PERIODD_TEST_FSYNC=on scripts/with-postgresql $(CARGO) bench --locked --bench rollover -- --write

# A Debian package of the release binary, with dpkg-deb alone.
deb:
	$(CARGO) build --locked --release --quiet
	@scripts/debian-package target/release/periodd
