/*
 * provider.h
 *		The payment provider: asks it about orders by HTTP.
 */
#ifndef SETTLE_PROVIDER_H
#define SETTLE_PROVIDER_H

#include "orders.h"

/*
 * Ask the provider about all of them at once.  Each order gets an answer, and is handed to
 * take() as soon as it has one.  Returns for how many seconds the provider asks to be left
 * alone, or 0.
 */
extern long provider_ask(const Options *options, Lease *lease,
						 void (*take) (void *state, Order *order), void *state);

#endif
