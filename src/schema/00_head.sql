\echo Use "CREATE EXTENSION shoal" to load this file. \quit
