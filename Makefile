# Shoal.  A user needs "make demo", "make check" and "make bench", which work
# before PostgreSQL is installed; "make" and "make install" are PGXS's.

ifneq ($(filter help demo check bench,$(MAKECMDGOALS)),)

.PHONY: help demo check bench

# MAKEFLAGS would make a make that these start part of this one
demo check:
	@MAKEFLAGS= test/$@

bench:
	@MAKEFLAGS= test/bench/run

help:
	@echo "make demo     a cluster with data in it, to play with"
	@echo "make check    builds, installs, runs all tests"
	@echo "make bench    compares with plain PostgreSQL (BENCH=name for one)"
	@echo "make          builds; make install installs (PG_CONFIG=... DESTDIR=...)"

else

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

endif
