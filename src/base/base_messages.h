/*
 * base_messages.h
 *		Core's functions that send messages to the client: libpq/libpq.h.
 *
 * It includes headers of Kerberos and OpenSSL if the server was built with these, for the
 * parts of a Port.  They need not be installed where an extension is built, and
 * nobody who includes this file may look into a Port.
 */
#ifndef BASE_MESSAGES_H
#define BASE_MESSAGES_H

#undef ENABLE_GSS
#undef USE_OPENSSL
#undef USE_SSL

#include "libpq/libpq.h"

#endif							/* BASE_MESSAGES_H */
