/*
 * base_memory.h
 *		Memory of the process.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

/*
 * From now on this process keeps some megabytes that it has freed.  Called
 * where sessions turn out to be Shoal's.
 */
extern void shoal_memory_keep(void);

#endif							/* BASE_MEMORY_H */
