# economy: build, install, test; "make help" lists what there is.

EXTENSION  = economy
# where the sources are: here, or elsewhere with make -f DIRECTORY/Makefile VPATH=DIRECTORY
SRC = $(or $(VPATH),.)
sources = $(patsubst $(SRC)/%,%,$(wildcard $(addprefix $(SRC)/,$(1))))
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(SRC)/economy.control)

MODULE_big = economy
OBJS = $(sort $(patsubst %.c,%.o,$(call sources,src/*.c src/*/*.c)))

# The order of the install script; each domain's SQL stands with its C.
SQL_PARTS = src/prologue.sql src/ledger/ledger.sql src/ledger/holdings.sql \
	src/account/identity.sql \
	src/shop/shop.sql src/shop/fulfilment.sql src/shop/reservation.sql src/shop/refund.sql src/shop/promo.sql src/ledger/level.sql \
	src/reward/reward.sql \
	src/play/play.sql src/play/leaderboard.sql src/account/adjust.sql src/hold/hold.sql \
	src/hold/draw.sql src/hold/escrow.sql \
	src/settle/settle.sql src/settle/orders.sql src/fraud/rate.sql \
	src/mission/mission.sql src/mission/dry_run.sql src/mission/season.sql \
	src/ledger/archive.sql \
	src/ledger/view.sql src/account/account.sql src/account/statement.sql src/account/leaderboards.sql src/account/prizes.sql \
	src/account/debts.sql \
	src/account/missions.sql src/account/rounds.sql src/account/seasons.sql \
	src/realtime/realtime.sql src/event/contract.sql \
	src/segment/segment.sql src/segment/score.sql src/segment/state.sql src/segment/buckets.sql \
	src/segment/snapshot.sql src/segment/refresh.sql src/segment/incremental.sql src/segment/batches.sql \
	src/segment/readers.sql src/segment/audit.sql src/segment/placements.sql \
	src/segment/decisions.sql src/segment/learn.sql src/segment/recommend.sql \
	src/segment/report.sql \
	src/ops/ops.sql src/ops/audit.sql src/ops/missions.sql src/ops/anchor.sql src/ops/checks.sql src/ops/schedule.sql \
	src/ops/demo.sql src/ops/schema.sql src/ops/health.sql src/ops/grants.sql

DATA_built = $(EXTENSION)--$(EXTVERSION).sql

# What was released, frozen, and how to come from there to here.
DATA = $(call sources,update/$(EXTENSION)--*.sql)

# PGXS builds a library or a program, not both; this variable takes any file to bindir.
SCRIPTS_built = economy_tail economy_report $(if $(HAVE_CURL),economy_settle)
HAVE_CURL := $(shell pkg-config --exists libcurl 2>/dev/null && echo yes)
COMMON_OBJS = $(patsubst %.c,%.o,$(call sources,tools/common/*.c))
TAIL_OBJS = $(patsubst %.c,%.o,$(call sources,tools/economy_tail/*.c))
SETTLE_OBJS = $(patsubst %.c,%.o,$(call sources,tools/economy_settle/*.c))
TOOL_OBJS = $(COMMON_OBJS) $(TAIL_OBJS) $(SETTLE_OBJS)
EXTRA_CLEAN = build economy_settle $(TOOL_OBJS)

PG_CONFIG ?= pg_config
# an error only for those who work on it: make WERROR=-Werror, as lint does
WARNINGS = -Wall -Wextra $(WERROR) -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2
CLANG_WARNINGS = -Wno-unknown-warning-option -Wno-ignored-optimization-argument \
	-Wno-unused-command-line-argument -Wno-unused-parameter
IS_CLANG = $(findstring clang,$(shell $(CC) --version 2>/dev/null | head -1))
PG_CPPFLAGS = -I$(abspath $(SRC))/src -DECO_RELEASE='"$(EXTVERSION)"' -isystem $(shell $(PG_CONFIG) --includedir-server)
PG_CFLAGS = $(WARNINGS) -Wno-unused-parameter $(if $(IS_CLANG),$(CLANG_WARNINGS))
SHLIB_LINK = -lcrypto -lm
override with_llvm = no

# make installcheck, against the server that PG* names; for TAP, with what is installed
REGRESS = $(sort $(patsubst sql/%.sql,%,$(call sources,sql/*.sql)))
REGRESS_OPTS = --load-extension=economy --encoding=UTF8 --launcher="timeout -k 10 $(or $(FILE_LIMIT),600)"
specs = $(sort $(patsubst test/isolation/specs/%.spec,%,$(call sources,test/isolation/specs/*.spec)))
# helpers first, which makes the functions that the others call
ISOLATION = helpers $(filter-out helpers,$(specs))
ISOLATION_OPTS = --inputdir=test/isolation $(REGRESS_OPTS)
TAP_TESTS = 1
PROVE_TESTS = test/tap/t/*.pl

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
SERVER_HEADER := $(shell $(PG_CONFIG) --includedir-server 2>/dev/null)/postgres.h
ifneq ($(and $(wildcard $(PGXS)),$(wildcard $(SERVER_HEADER))),)
include $(PGXS)

# not when a package is made
install: $(if $(DESTDIR),,where-tools)
.PHONY: where-tools
where-tools:
	@case ":$$PATH:" in *":$(bindir):"*) ;; *) \
		echo "$(SCRIPTS_built) are installed into $(bindir), which is not in PATH: call them by that name, or link them";; esac
	@$(if $(HAVE_CURL),:,echo "economy_settle is not built, for there is no libcurl to build it with (Debian: libcurl4-openssl-dev)")
else
.PHONY: all install
all install:
	@echo "economy: $(PG_CONFIG) names no PostgreSQL with headers to build with." >&2
	@echo "Run make setup, install them (Debian: postgresql-server-dev-all libpq-dev libssl-dev), or name another" >&2
	@echo "pg_config: make PG_CONFIG=/usr/lib/postgresql/<major>/bin/pg_config" >&2
	@exit 1
endif

$(EXTENSION)--$(EXTVERSION).sql: $(SQL_PARTS) economy.control
	cat $(filter %.sql,$^) > $@

ifdef VPATH
$(shell mkdir -p $(sort $(dir $(OBJS) $(TOOL_OBJS))))
endif
$(OBJS): $(call sources,src/*.h src/*/*.h) economy.control

economy_tail: $(TAIL_OBJS) $(COMMON_OBJS)
	$(CC) $(CFLAGS) $^ $(LDFLAGS) -L$(shell $(PG_CONFIG) --libdir) -lpq -o $@

# only where there is a libcurl to build with
economy_settle: $(SETTLE_OBJS) $(COMMON_OBJS)
	$(CC) $(CFLAGS) $^ $(LDFLAGS) -L$(shell $(PG_CONFIG) --libdir) -lpq $(shell pkg-config --libs libcurl) -lcrypto -o $@

$(TOOL_OBJS): $(call sources,tools/*/*.h) economy.control
$(TOOL_OBJS): override CPPFLAGS += -I$(abspath $(SRC))/tools -isystem $(shell $(PG_CONFIG) --includedir) -DTOOL_VERSION='"$(EXTVERSION)"'

economy_report: tools/economy_report/economy_report.pl economy.control
	sed 's/@VERSION@/$(EXTVERSION)/' $< >$@
	chmod +x $@

# From here on nothing needs PostgreSQL to be there yet: the scripts install it.

.PHONY: dist help setup demo test matrix lint format unit bench scale stress crash sweep damage mutation fuzz smith sanitize coverage
## this list
help:
	@awk '/^## / { text = substr($$0, 4); next } \
		/^[a-z][a-z-]*:/ && text { sub(/:.*/, ""); printf "make %-13s %s\n", $$0, text } { text = "" }' Makefile

## install what the others need, from Debian's packages
setup:
	@bash scripts/setup

## the main job on a throw-away server; KEEP=1 leaves it running
demo:
	@bash scripts/demo

## every test; SUITES="unit sql" some of them, SUITES=pgtap/purchase.sql one file
test:
	@bash scripts/test $(SUITES)

## the suites with every PostgreSQL that Debian has, as root; MAJORS="17 18", SUITES=
matrix:
	@SUITES="$(SUITES)" bash scripts/matrix $(MAJORS)

## compilers, formatting and house rules
lint:
	@bash scripts/lint

## format the C code
format:
	@bash scripts/format

UNIT_FLAGS = -std=gnu11 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
## core/ alone, under the address and undefined behaviour sanitizers
unit:
	@mkdir -p build
	@$(CC) $(UNIT_FLAGS) $(WARNINGS) -Isrc -Itools -Itools/economy_tail -o build/unit test/unit/*.c src/core/*.c \
		tools/economy_tail/envelope.c tools/economy_tail/seen.c -lcrypto -lm
	@timeout -k 10 $${FILE_LIMIT:-600} build/unit

## ratios against peers in one run, then instructions per call; INSTRUCTIONS=only
bench:
	@INSTRUCTIONS=$(INSTRUCTIONS) bash scripts/bench

## pages that calls and idle jobs read of a million users; SCALE_USERS= SCALE_ENTRIES=
scale:
	@bash scripts/scale

## random histories and their checker, then a load with listeners; SEED= SEEDS= OPS= CLIENTS= PLAN=1 LOAD=60
stress:
	@SEED=$(SEED) SEEDS=$(SEEDS) OPS=$(OPS) CLIENTS=$(CLIENTS) PLAN=$(PLAN) LOAD=$(LOAD) bash scripts/stress

## the same while the server is killed, out of disk or replaced by its standby; SEED= CYCLES= FAILOVERS=
crash:
	@SEED=$(SEED) CYCLES=$(CYCLES) FAILOVERS=$(FAILOVERS) bash scripts/crash

## every function cut off at every place, without memory or disk too; ONLY=, MALLOC=0
sweep:
	@ONLY="$(ONLY)" MALLOC=$(MALLOC) bash scripts/sweep

## random damage in every table: the audit sees it, and no call goes wrong by it; SEED=, N=
damage:
	@N=$(N) SEED=$(SEED) bash scripts/damage

## plants defects and asks of each the test that notices it
mutation:
	@bash test/mutation/run

## every parser and encoder under libFuzzer; RUNS=, TARGET=, KEEP=1 adds to the corpus
fuzz:
	@RUNS=$(RUNS) TARGET="$(TARGET)" KEEP=$(KEEP) bash scripts/fuzz

## random statements by sqlsmith; SEED=, TIME=
smith:
	@SEED=$(SEED) TIME=$(TIME) bash scripts/smith

## the suites with undefined behaviour and memory errors made fatal
sanitize:
	@bash scripts/sanitize

## which lines the suites run
coverage:
	@bash scripts/coverage

## the archive of the last commit, for PGXN, in build/; DIST= elsewhere
dist:
	@mkdir -p $(or $(DIST),build)
	git archive --format=zip --prefix=$(EXTENSION)-$(EXTVERSION)/ -o $(or $(DIST),build)/$(EXTENSION)-$(EXTVERSION).zip HEAD
