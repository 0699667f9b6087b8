# Shoal: build, install, check.  The targets a user needs are demo, check and
# bench; the rest is PGXS.

MODULE_big = shoal
EXTENSION = shoal
EXTVERSION = 1.0
OBJS = $(patsubst %.c,%.o,$(wildcard src/*.c src/*/*.c))
DATA_built = src/schema/shoal--$(EXTVERSION).sql
EXTRA_CLEAN = src/schema/shoal--$(EXTVERSION).sql

PG_CPPFLAGS = -Isrc -I$(shell $(PG_CONFIG) --includedir)
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -fvisibility=hidden
SHLIB_LINK = -lpq
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

src/schema/shoal--$(EXTVERSION).sql: $(sort $(wildcard src/schema/[0-9]*.sql))
	cat $^ > $@

# one translation unit may depend on any header; the tree is small
$(OBJS): $(wildcard src/*/*.h)
