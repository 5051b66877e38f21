// Package timedconn tells when bytes arrived on a TCP connection, by the kernel's
// clock and not by when this process got to read them: a machine with other
// work, a burst of connections, or a pause of the garbage collector does not
// lengthen a latency. On Linux it is socket(7)'s SO_TIMESTAMPNS; elsewhere
// nothing is known, and what stands in is the time at which the read returned.
//
// The stamp is of the latest segment that a read took bytes from.
package timedconn
