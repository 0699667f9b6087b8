/*
 * base_memory.c
 *		Memory of the process that statements take and give back.
 *
 * A statement over a table's shards needs some hundred kilobytes, all of it at
 * the top of the heap.  The C library would return them to the kernel each
 * time, which costs more than many a statement.
 */
#include "postgres.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "base/base_memory.h"

#define KEEP_SIZE	(4 * 1024 * 1024)
#define GROW_SIZE	(256 * 1024)

/* what is larger is the kernel's at once, as before */
#define LARGE_SIZE	(1024 * 1024)

void
shoal_memory_keep(void)
{
#ifdef __GLIBC__
	static bool done = false;

	if (done)
		return;
	done = true;
	(void) mallopt(M_TRIM_THRESHOLD, KEEP_SIZE);
	(void) mallopt(M_TOP_PAD, GROW_SIZE);
	(void) mallopt(M_MMAP_THRESHOLD, LARGE_SIZE);
#endif
}
