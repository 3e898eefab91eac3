/*
 * fulfilment.h
 *		Purchases that somebody has to fulfil: the app's workers take them from a queue.
 */
#ifndef ECO_FULFILMENT_H
#define ECO_FULFILMENT_H

#include "postgres.h"

#include "ledger/entry.h"

/* A call that buys what is to be fulfilled opens this. */
extern EcoTable eco_fulfilments;

/* Put a purchase that is booked into the queue, in its transaction. */
extern void eco_fulfilment_add(const EcoEntry *entry);

#endif
