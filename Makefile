# `make demo` and `make test` set up everything on a fresh machine with Rust (and the C compiler that
# Rust links with). Both first find or install PostgreSQL's server binaries; neither touches a server
# that it did not start. CONTRIBUTING.md describes the targets for daily work: check, t, sqlx, psql.

CARGO ?= cargo
export CARGO
# Statements are checked against .sqlx, whatever database the environment talks about.
unexport DATABASE_URL

# Cargo's tests of the units need root; what is built belongs to whoever builds it.
ifneq ($(shell id -u),0)
AS_ROOT := --config 'target."cfg(unix)".runner = ["sudo", "-n"]'
endif

.PHONY: demo rust tools check t sqlx psql test test-long test-clock test-systemd test-clients test-api lint docs deny \
	advisories bench bench-quick deb dist image test-versions planted proof soak fuzz

# A sample company through several months, in a private cluster of its own.
demo: rust
	@scripts/postgresql-binaries >/dev/null
	@test -x target/release/periodd || echo \
		'The first build takes about 7 minutes and 1.5 GB in target/; the demo itself takes seconds.'
	$(CARGO) run --locked --release -- demo

rust:
	@command -v $(firstword $(CARGO)) >/dev/null || { echo \
		'this needs Rust 1.95 or newer: https://rustup.rs installs it' >&2; exit 1; }

# After every edit: format, lints, documentation, and the tests that need no database.
check: lint docs
	$(CARGO) test --locked --quiet --lib --test rules

# One test by (a part of) its name, with PostgreSQL: make t T=crowd. The binary is found by the name.
t: BINARIES = $(shell grep -rlE "fn [a-z0-9_]*$(lastword $(subst ::, ,$(T)))|mod $(T)\b" tests --include=*.rs \
	| sed -E 's,^tests/([^/.]+).*,--test \1,' | grep -v support | sort -u)
t: UNITS = $(shell grep -rqE "fn [a-z0-9_]*$(lastword $(subst ::, ,$(T)))" src && echo --lib)
t:
	@test -n "$(T)" || { echo 'usage: make t T=part_of_a_name' >&2; exit 2; }
	@test -n "$(BINARIES)$(UNITS)" || { echo 'no test is called $(T)' >&2; exit 2; }
	scripts/with-postgresql $(CARGO) test --locked $(UNITS) $(BINARIES) -- $(T)

# What the compiler knows of statements and schema, after a change of either.
sqlx:
	scripts/statement-metadata

# A psql on a migrated database of a private server, both gone afterwards.
psql:
	@scripts/with-postgresql sh -ec '\
		sql() { "$$PERIODD_TEST_BINARIES/psql" -X -h "$$PERIODD_TEST_SERVER" -U postgres "$$@"; }; \
		sql -q -c "create database periodd" postgres; \
		cat migrations/[0-9]*.sql migrations/api/*.sql \
			| PGOPTIONS="-c client_min_messages=warning" sql -q -1 -v ON_ERROR_STOP=1 periodd >/dev/null; \
		sql periodd'

# Everything that must hold before a change is merged. The tests come last, so that their result
# lines are the last ones. Clippy looks at statements and lints in one go, for it expands the whole
# program either way.
test: rust tools
	$(CARGO) fmt --check
	scripts/with-postgresql scripts/statement-metadata --lint
	@$(MAKE) --no-print-directory docs deny
	scripts/with-postgresql $(CARGO) test --locked --no-fail-fast

# What the tests need besides Rust, looked for before anything is built: what is missing is installed,
# or named, in the first seconds.
tools:
	@scripts/postgresql-binaries >/dev/null
	scripts/systemd-tools
	@scripts/aiosmtpd >/dev/null
	@scripts/standardwebhooks >/dev/null
	@scripts/chromium >/dev/null
	@scripts/pgbouncer >/dev/null
	@scripts/libfaketime >/dev/null
	@scripts/promtool >/dev/null
	@scripts/nginx >/dev/null

# Every proof at full size, and docs/proof.md with what they found. Takes hours. One of them:
# make proof P=model
proof: rust tools
	scripts/proof $(P)

# Random operations against the model for so many seconds. A failure prints its seed, and what is left
# of the operations; PERIODD_CASE=SEED plays them again.
SECONDS ?= 3600
soak: rust
	PERIODD_SOAK=$(SECONDS) scripts/with-postgresql $(CARGO) test --locked --test proof -- --nocapture model::

# Texts and bytes of others, changed at random, for so many seconds a target. What fails is printed,
# and belongs in tests/proof/fuzz/corpus. One target: PERIODD_CASE=cron make fuzz
fuzz: rust
	PERIODD_FUZZ=$(SECONDS) $(CARGO) test --locked --test proof -- --nocapture fuzz::

# The same tests with everything that is sampled or repeated, as often as meets what is rare.
test-long: rust tools
	PERIODD_TEST_LONG=1 PERIODD_TEST_ROUNDS=10 PERIODD_TEST_SPELL=12 \
		scripts/with-postgresql $(CARGO) test --locked --no-fail-fast

# A server whose clock is wrong for twelve seconds under a daemon: hours, days and years ahead, and an
# hour behind; and one that is away for a minute. `make test` does the same with shorter spells.
test-clock:
	@scripts/libfaketime >/dev/null
	PERIODD_TEST_SPELL=12 scripts/with-postgresql $(CARGO) test --locked --test running -- daemon::clock daemon::outage

# Do the tests notice? Plants every defect of tests/planted in a copy of the sources, and runs the tests
# that should fail then: a build each, a minute or two. One: make planted P=a_grant_is_not_announced
planted:
	@scripts/planted $(P)

# The units under a real systemd, booted in namespaces of its own. Needs root, or a sudo that asks
# nothing; touches nothing of the machine's own systemd.
test-systemd:
	scripts/systemd-tools
	@scripts/postgresql-binaries >/dev/null
	$(CARGO) test --locked --test systemd $(AS_ROOT) -- --test-threads=2

# Clients that people have (supabase-js, Prisma, Drizzle, knex, SQLAlchemy, Alembic, Django, JDBC), at
# pinned versions, beside a migrated database; emails and pages in Chromium, examined by axe-core. Needs Node.js, Python and a JDK; tests/clients/run says more.
test-clients:
	$(CARGO) build --locked
	scripts/with-postgresql tests/clients/run

# The HTTP API against its own description, by schemathesis. Needs Python.
test-api:
	$(CARGO) build --locked
	scripts/with-postgresql tests/http/schemathesis

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

# Licences, sources and banned crates of everything that is built in: deny.toml.
deny:
	$(CARGO) fetch --locked --quiet
	scripts/cargo-deny --offline --log-level error check bans licenses sources

# Known vulnerabilities of it, from the RustSec database, which this fetches.
advisories:
	scripts/cargo-deny check advisories

docs:
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --quiet

# All benchmarks against hand-written SQL, on a private cluster of their own: the table is printed and
# docs/benchmarks.md written. Takes hours, and 60 GB of disk. It fails where a goal is missed by more
# than a tenth. One workload: make bench W=rollover; after an interruption: make bench W=--missing.
BENCH = PERIODD_TEST_BINARIES=$$(scripts/postgresql-binaries) $(CARGO) bench --locked --bench workloads --
bench:
	$(BENCH) --write $(W)

# The same, once, on a hundredth of the rows: it shows that every workload works.
bench-quick:
	PERIODD_BENCH_SCALE=0.01 PERIODD_BENCH_RUNS=1 PERIODD_BENCH_SECONDS=1 $(BENCH) $(W)

# A Debian package of the release binary, with dpkg-deb alone. The binary names no path of the
# machine that it was built on: whoever builds the same commit with the same tools gets the same.
CARGO_SOURCES := $(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src
deb: export RUSTFLAGS := --remap-path-prefix=$(CARGO_SOURCES)=/cargo --remap-path-prefix=$(CURDIR)=/periodd
deb: export CFLAGS := -ffile-prefix-map=$(CARGO_SOURCES)=/cargo
deb:
	$(CARGO) build --locked --release --quiet --target-dir target/deb
	@! grep -aqF -e '$(CARGO_SOURCES)' -e '$(CURDIR)/src' target/deb/release/periodd
	@scripts/debian-package target/deb/release/periodd

# A release archive with its checksum, of a program that needs no library of the machine: it is linked
# statically, for Linux and glibc's own rules of names. Takes as long as any release build.
DIST_TARGET := $(shell uname -m)-unknown-linux-gnu
DIST_BINARY := target/dist/$(DIST_TARGET)/release/periodd
dist image: export RUSTFLAGS := -C target-feature=+crt-static --remap-path-prefix=$(CARGO_SOURCES)=/cargo --remap-path-prefix=$(CURDIR)=/periodd
dist image: export CFLAGS := -ffile-prefix-map=$(CARGO_SOURCES)=/cargo
STATIC = $(CARGO) build --locked --release --quiet --target $(DIST_TARGET) --target-dir target/dist
dist:
	$(STATIC)
	@scripts/dist $(DIST_BINARY)

# A container image of that program, by buildah; by Docker: PERIODD_IMAGE_BUILDER=docker make image
image:
	$(STATIC)
	@scripts/image $(DIST_BINARY)

# The suites of the store, the functions and imports on every version of PostgreSQL that is supported, each
# from the package registries. One version: make test-versions V=18; a part: make test-versions T=rollover
V ?= 15 16 17 18
test-versions:
	scripts/test-versions $(V) -- $(T)
