# economy: build, install, test. "make help" lists what there is.

EXTENSION  = economy
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" economy.control)

MODULE_big = economy
OBJS = $(sort $(patsubst %.c,%.o,$(wildcard src/*.c src/*/*.c)))

# The order of the install script; each domain's SQL stands with its C.
SQL_PARTS = src/prologue.sql src/ledger/ledger.sql src/identity/identity.sql \
	src/shop/shop.sql src/ops/ops.sql src/ops/demo.sql src/ops/grants.sql

DATA_built = $(EXTENSION)--$(EXTVERSION).sql
DOCS =
EXTRA_CLEAN = test/unit/core_test build

PG_CONFIG ?= pg_config
WARNINGS = -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2
CLANG_WARNINGS = -Wno-unknown-warning-option -Wno-ignored-optimization-argument \
	-Wno-unused-command-line-argument -Wno-unused-parameter
IS_CLANG = $(findstring clang,$(shell $(CC) --version 2>/dev/null | head -1))
PG_CPPFLAGS = -I$(CURDIR)/src -isystem $(shell $(PG_CONFIG) --includedir-server)
PG_CFLAGS = $(WARNINGS) -Wno-unused-parameter $(if $(IS_CLANG),$(CLANG_WARNINGS))
SHLIB_LINK = -lcrypto
override with_llvm = no

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq ($(wildcard $(PGXS)),)
include $(PGXS)
endif

$(EXTENSION)--$(EXTVERSION).sql: $(SQL_PARTS) economy.control
	cat $(SQL_PARTS) > $@

$(OBJS): $(wildcard src/*.h src/*/*.h)
