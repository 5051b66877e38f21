package timedconn

// Pending reports whether a read would return at once: bytes lie there, or the
// connection has ended. Nothing is read. It is false where the system cannot say.
func (s *Conn) Pending() bool { return pending(s.TCPConn) }
