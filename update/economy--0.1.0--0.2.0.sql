\echo Use "ALTER EXTENSION economy UPDATE TO '0.2.0'" to load this file. \quit
