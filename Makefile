# economy: build, install, test; "make help" lists what there is.

EXTENSION  = economy
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" economy.control)

MODULE_big = economy
OBJS = $(sort $(patsubst %.c,%.o,$(wildcard src/*.c src/*/*.c)))

# The order of the install script; each domain's SQL stands with its C.
SQL_PARTS = src/prologue.sql src/ledger/ledger.sql src/account/identity.sql \
	src/shop/shop.sql src/reward/reward.sql src/play/play.sql src/account/adjust.sql \
	src/ledger/view.sql src/account/statement.sql src/realtime/realtime.sql src/event/contract.sql \
	src/segment/segment.sql src/segment/refresh.sql src/segment/recommend.sql src/segment/report.sql \
	src/ops/ops.sql src/ops/audit.sql src/ops/anchor.sql src/ops/checks.sql src/ops/schedule.sql src/ops/demo.sql src/ops/schema.sql src/ops/health.sql src/ops/grants.sql

DATA_built = $(EXTENSION)--$(EXTVERSION).sql

# What was released, frozen, and how to come from there to here.
DATA = $(wildcard update/$(EXTENSION)--*.sql)

# PGXS builds a library or a program, not both; this variable takes any file to bindir.
SCRIPTS_built = economy_tail
TAIL_OBJS = $(patsubst %.c,%.o,$(wildcard tools/economy_tail/*.c))
EXTRA_CLEAN = build $(TAIL_OBJS)

PG_CONFIG ?= pg_config
# an error only for those who work on it: make WERROR=-Werror, as lint does
WARNINGS = -Wall -Wextra $(WERROR) -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2
CLANG_WARNINGS = -Wno-unknown-warning-option -Wno-ignored-optimization-argument \
	-Wno-unused-command-line-argument -Wno-unused-parameter
IS_CLANG = $(findstring clang,$(shell $(CC) --version 2>/dev/null | head -1))
PG_CPPFLAGS = -I$(CURDIR)/src -DECO_RELEASE='"$(EXTVERSION)"' -isystem $(shell $(PG_CONFIG) --includedir-server)
PG_CFLAGS = $(WARNINGS) -Wno-unused-parameter $(if $(IS_CLANG),$(CLANG_WARNINGS))
SHLIB_LINK = -lcrypto -lm
override with_llvm = no

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
SERVER_HEADER := $(shell $(PG_CONFIG) --includedir-server 2>/dev/null)/postgres.h
ifneq ($(and $(wildcard $(PGXS)),$(wildcard $(SERVER_HEADER))),)
include $(PGXS)

# not when a package is made
install: $(if $(DESTDIR),,where-tail)
.PHONY: where-tail
where-tail:
	@case ":$$PATH:" in *":$(bindir):"*) ;; *) \
		echo "economy_tail is installed into $(bindir), which is not in PATH: call it by that name, or link it";; esac
else
.PHONY: all install
all install:
	@echo "economy: $(PG_CONFIG) names no PostgreSQL with headers to build with." >&2
	@echo "Run make setup, install them (Debian: postgresql-server-dev-all libpq-dev libssl-dev), or name another" >&2
	@echo "pg_config: make PG_CONFIG=/usr/lib/postgresql/<major>/bin/pg_config" >&2
	@exit 1
endif

$(EXTENSION)--$(EXTVERSION).sql: $(SQL_PARTS) economy.control
	cat $(SQL_PARTS) > $@

$(OBJS): $(wildcard src/*.h src/*/*.h) economy.control

economy_tail: $(TAIL_OBJS)
	$(CC) $(CFLAGS) $(TAIL_OBJS) $(LDFLAGS) -L$(shell $(PG_CONFIG) --libdir) -lpq -o $@

$(TAIL_OBJS): $(wildcard tools/economy_tail/*.h) economy.control
$(TAIL_OBJS): override CPPFLAGS += -isystem $(shell $(PG_CONFIG) --includedir) -DTAIL_VERSION='"$(EXTVERSION)"'

# From here on nothing needs PostgreSQL to be there yet: the scripts install it.

.PHONY: help setup demo test matrix lint format unit bench scale stress crash sweep damage mutation fuzz smith sanitize coverage
help:
	@echo "make, make install   build and install (needs postgresql-server-dev, libpq-dev and libssl-dev)"
	@echo "make demo            the main job on a throw-away server; KEEP=1 leaves it running"
	@echo "make test            every test; 'make test SUITES=\"unit sql\"' some of them"
	@echo "make matrix          the suites with every PostgreSQL that Debian has, as root; MAJORS=\"17 18\", SUITES="
	@echo "make bench           ratios against peers in one run, then instructions per call; INSTRUCTIONS=only"
	@echo "make scale           pages that calls and idle jobs read of a million users; SCALE_USERS= SCALE_ENTRIES="
	@echo "make stress          random histories and their checker; SEED= SEEDS= OPS= CLIENTS=, PLAN=1 prints them;"
	@echo "                     then a load with listeners for LOAD= seconds, 60; 0 is none"
	@echo "make crash           the same while the server is killed, out of disk or replaced by its standby; SEED= CYCLES= FAILOVERS="
	@echo "make sweep           every function cut off at every place, without memory or disk too; ONLY=, MALLOC=0"
	@echo "make damage          random damage in every table, and what the audit does not see; SEED=, N="
	@echo "make mutation        plants defects and says which tests notice"
	@echo "make fuzz            every parser and encoder under libFuzzer; RUNS=, TARGET="
	@echo "make smith           random statements by sqlsmith; SEED=, TIME="
	@echo "make sanitize        the suites with undefined behaviour and memory errors made fatal"
	@echo "make coverage        which lines the suites run"
	@echo "make lint, format    compilers, formatting and house rules; format the code"
	@echo "make unit            core/ alone, under the address and undefined behaviour sanitizers"
	@echo "make setup           install what the above need, from Debian's packages"

setup:
	@bash scripts/setup

demo:
	@bash scripts/demo

test:
	@bash scripts/test $(SUITES)

matrix:
	@SUITES="$(SUITES)" bash scripts/matrix $(MAJORS)

lint:
	@bash scripts/lint

format:
	@bash scripts/format

UNIT_FLAGS = -std=gnu11 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
unit:
	@mkdir -p build
	@$(CC) $(UNIT_FLAGS) $(WARNINGS) -Isrc -Itools/economy_tail -o build/core_test test/unit/*.c src/core/*.c \
		tools/economy_tail/envelope.c tools/economy_tail/seen.c -lcrypto -lm
	@build/core_test

bench:
	@INSTRUCTIONS=$(INSTRUCTIONS) bash scripts/bench

scale:
	@bash scripts/scale

stress:
	@SEED=$(SEED) SEEDS=$(SEEDS) OPS=$(OPS) CLIENTS=$(CLIENTS) PLAN=$(PLAN) LOAD=$(LOAD) bash scripts/stress

crash:
	@SEED=$(SEED) CYCLES=$(CYCLES) FAILOVERS=$(FAILOVERS) bash scripts/crash

sweep:
	@ONLY="$(ONLY)" MALLOC=$(MALLOC) bash scripts/sweep

damage:
	@stage=$$(bash scripts/stage) && N="$(or $(N),2000)" SEED="$(SEED)" scripts/with-server $$stage -o shared_preload_libraries=economy test/damage/run; \
		status=$$?; rm -rf $$stage; exit $$status

mutation:
	@bash test/mutation/run

fuzz:
	@RUNS=$(RUNS) TARGET="$(TARGET)" bash scripts/fuzz

smith:
	@SEED=$(SEED) TIME=$(TIME) bash scripts/smith

sanitize:
	@bash scripts/sanitize

coverage:
	@bash scripts/coverage
