//go:build !386 && !s390x

package timedconn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// Gatherer reads many connections together: once a tick it takes what has come on
// any of them, and wakes a reader when there is enough for it to be worth it. Since
// the kernel stamps arrivals, no time is lost by reading a little later, and a tick
// costs a client of a thousand streams less than a thousand wake-ups do.
//
// A tick is about a quarter of the gap between two arrivals of a connection, so
// that few of them share a read, and at most 5 ms. It follows what is seen: see
// [set.adapt].
type Gatherer struct {
	mu     sync.Mutex // guards what follows
	sets   []*set
	closed bool
}

// NewGatherer makes a gatherer, which costs nothing until it is given a
// connection. Close it when its connections are closed.
func NewGatherer() *Gatherer { return &Gatherer{} }

// perSet is how many connections a set has before there is another one, for
// another core.
const perSet = 1024

// pick is the set that a new connection goes to: one a core at most.
func (g *Gatherer) pick() (*set, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, net.ErrClosed
	}
	var least *set
	for _, s := range g.sets {
		if least == nil || s.conns.Load() < least.conns.Load() {
			least = s
		}
	}
	if least == nil || least.conns.Load() >= perSet && len(g.sets) < runtime.GOMAXPROCS(0) {
		s, err := newSet()
		if err != nil {
			return nil, err
		}
		g.sets = append(g.sets, s)
		least = s
	}
	least.conns.Add(1)
	return least, nil
}

// Tick is how long arrivals are gathered at present: the longest of its sets'.
// It is zero where nothing is gathered.
func (g *Gatherer) Tick() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	var most int64
	for _, s := range g.sets {
		most = max(most, s.tick.Load())
	}
	return time.Duration(most)
}

// Lying is how many arrivals have been taken and not yet read, of all connections:
// a patient reader's, for the most part.
func (g *Gatherer) Lying() (n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.sets {
		n += s.lying.Load()
	}
	return n
}

// Close ends the gathering.
func (g *Gatherer) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.closed = true
	for _, s := range g.sets {
		s.bell.Close()
	}
}

// Bounds of a tick, and how it begins.
const (
	shortestTick = 200 * time.Microsecond
	longestTick  = 5 * time.Millisecond
	firstTick    = 500 * time.Microsecond
)

// set is the connections that one goroutine looks after.
type set struct {
	epoll int
	conns atomic.Int64
	bell  bell

	tick   atomic.Int64 // ns
	soon   atomic.Int64 // arrivals that came within four ticks of the one before
	answer atomic.Int64 // the shortest answer since the tick was last looked at, in ns; 0 for none
	lying  atomic.Int64 // arrivals that were taken and not read

	mu   sync.Mutex  // guards byFD
	byFD []*Gathered // nil where no connection has that number

	receiver // its goroutine's alone: that of a connection would be far from the processor each time
}

func newSet() (*set, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	s := &set{epoll: epoll}
	if err := s.bell.hang(epoll); err != nil {
		syscall.Close(epoll)
		return nil, err
	}
	s.tick.Store(int64(firstTick))
	go s.run()
	return s, nil
}

// watch makes the set tell of what comes on fd.
func (s *set) watch(fd int) error {
	const edge = 1 << 31 // EPOLLET, which package syscall has as a negative number
	event := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | edge, Fd: int32(fd)}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(s.epoll, syscall.EPOLL_CTL_ADD, fd, &event))
}

// run waits until something has come, gathers for a tick, and takes it all. While
// each tick brings something the next one follows: that is one wake-up of this
// process a tick.
func (s *set) run() {
	defer syscall.Close(s.epoll)
	defer s.bell.takeDown()
	var events [256]syscall.EpollEvent
	arrived, looked, swept := 0, time.Now(), time.Now()
	for awake := false; ; {
		if !awake && s.bell.await(longestWait, true) != nil || s.bell.await(time.Duration(s.tick.Load()), false) != nil {
			return // closed
		}
		awake = false
		for {
			// It returns at once, so Go's scheduler need not be told of it.
			n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(s.epoll),
				uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
			if errno != 0 || n == 0 {
				break
			}
			s.take(events[:n])
			awake = true
			arrived += int(n)
			if int(n) < len(events) {
				break // what has come since is for the next tick
			}
		}
		now := time.Now()
		if now.Sub(swept) > longestWait {
			s.sweep(now)
			swept = now
		}
		if arrived >= 256 || arrived >= 32 && now.Sub(looked) > 100*time.Millisecond {
			s.adapt(arrived)
			arrived, looked = 0, now
		}
	}
}

// take reads the connections that have something.
func (s *set) take(events []syscall.EpollEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lay := int64(0)
	for i := range events {
		if c := s.byFD[events[i].Fd]; c != nil { // nil: closed since
			lay += c.take(events[i].Events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0)
		}
	}
	s.lying.Add(lay)
}

// sweep wakes the readers on whose connections nothing more has come for a while
// after what lies here, and those for whom something has lain for long.
func (s *set) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.byFD {
		switch {
		case c == nil:
		case c.quiet(now):
			c.swept.Store(true)
			c.wakeUp()
		case c.lain(now):
			c.swept.Store(false)
			c.wakeUp()
		}
	}
}

// adapt changes the tick after so many arrivals. It grows while hardly any of
// them came within four ticks of the one before, which is a tick of a quarter of
// the gap, and falls at once where more did. A finished answer is seen up to a
// tick late, so it is also at most a hundredth of the shortest answer.
func (s *set) adapt(arrivals int) {
	tick, soon := time.Duration(s.tick.Load()), s.soon.Swap(0)
	switch {
	case soon*100 > int64(arrivals):
		tick /= 2
	case soon*1000 <= int64(arrivals):
		tick += tick / 4
	}
	if answer := s.answer.Swap(0); answer > 0 {
		tick = min(tick, time.Duration(answer)/100)
	}
	s.tick.Store(int64(min(max(tick, shortestTick), longestTick)))
}

// Bounds of what lies here for a reader that is not in a hurry.
const (
	inboxSize   = 8 << 10
	inboxLow    = 2 << 10 // with less room than this the reader is woken
	longestWait = time.Second
	longestLie  = 4 * time.Second // well under maxAge, from which on a stamp is not believed
)

// Gathered is a TCP connection of a [Gatherer]. Reads must not overlap, nor
// writes.
type Gathered struct {
	// What each arrival needs comes first, close together.
	mu      sync.Mutex // guards what follows, and fd against being closed in a call
	fd      int32
	closed  bool
	patient bool          // see [Gathered.Patient]
	more    bool          // the socket may have more
	hungUp  bool          // the other side has ended: there is an end to read, which comes without an arrival
	inbox   []byte        // arrivals that were taken, each behind its head; read up to next
	next    int           // where the rest of the arrival that is being read begins, or the head of the next
	before  time.Duration // the stamp of the latest arrival; 0 where none came since the request
	set     *set

	rest    int       // how much is left of the arrival that is being read
	lay     int       // arrivals in the inbox when the reader came for the first of them
	failure error     // what ended the other side's words; io.EOF for an end
	asked   time.Time // when the latest request was written
	readBy  time.Time // deadlines; zero for none
	writeBy time.Time
	timer   *time.Timer

	local, remote net.Addr
	ready         chan struct{} // something is there, or the waiting is over
	swept         atomic.Bool   // the reader was woken since something had lain for long

	// The reader's alone.
	arrived time.Duration // the stamp of what was read last
	seen    time.Time     // when the reader came for what it has been reading since
}

// In the inbox an arrival is behind its stamp and its length.
const headSize = 12

// putHead writes an arrival's head to b.
func putHead(b []byte, stamp time.Duration, n int) {
	binary.NativeEndian.PutUint64(b, uint64(stamp))
	binary.NativeEndian.PutUint32(b[8:], uint32(n))
}

func head(b []byte) (stamp time.Duration, n int) {
	return time.Duration(binary.NativeEndian.Uint64(b)), int(binary.NativeEndian.Uint32(b[8:]))
}

// Gather takes a connection over: c itself is closed and of no use any more.
// Where it cannot be taken, c stays as it is.
func (g *Gatherer) Gather(c *Conn) (*Gathered, error) {
	if c.raw == nil || c.stamp == 0 {
		return nil, errors.New("the kernel does not say when its bytes arrived")
	}
	s, err := g.pick()
	if err != nil {
		return nil, err
	}
	// Go's own poller lets go of the socket when c is closed; a copy stays open.
	fd, err := -1, error(nil)
	bad := c.raw.Control(func(of uintptr) {
		copied, _, errno := syscall.Syscall(syscall.SYS_FCNTL, of, syscall.F_DUPFD_CLOEXEC, 0)
		if fd = int(copied); errno != 0 {
			err = os.NewSyscallError("fcntl", errno)
		}
	})
	if err = errors.Join(bad, err); err != nil {
		s.conns.Add(-1)
		return nil, err
	}
	out := &Gathered{set: s, fd: int32(fd), local: c.LocalAddr(), remote: c.RemoteAddr(),
		ready: make(chan struct{}, 1), more: true}
	s.mu.Lock()
	for len(s.byFD) <= fd {
		s.byFD = append(s.byFD, make([]*Gathered, 256)...)
	}
	s.byFD[fd] = out
	s.mu.Unlock()
	if err := s.watch(fd); err != nil {
		out.Close()
		return nil, err
	}
	return out, c.Close()
}

func (c *Gathered) wakeUp() {
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// LocalAddr is a TCPConn's.
func (c *Gathered) LocalAddr() net.Addr { return c.local }

// RemoteAddr is a TCPConn's.
func (c *Gathered) RemoteAddr() net.Addr { return c.remote }

// Patient says that the reader can wait for more than one arrival: it is woken
// when there are many, when the answer seems to be over, and when nothing has come
// for a second after the latest. It ends with the next write.
func (c *Gathered) Patient() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.patient = true
}

// SweptUp reports whether the latest wait ended because something had lain here
// for long: the end of an answer that is seen so is seen late.
func (c *Gathered) SweptUp() bool { return c.swept.Load() }

// Read is a TCPConn's, but that it comes later, gives what one read of the socket
// had, and notes when that had arrived.
func (c *Gathered) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		n, done, err := c.tryRead(b)
		if done {
			return n, c.failed("read", err)
		}
		<-c.ready
	}
}

// tryRead reads what is there; it is not done where nothing is.
func (c *Gathered) tryRead(b []byte) (n int, done bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return 0, true, net.ErrClosed
	case c.next == len(c.inbox) && c.more && c.failure == nil:
		var own receiver
		c.set.lying.Add(c.receive(&own))
	}
	if c.next < len(c.inbox) {
		if c.lay > 0 {
			c.seen = time.Now() // once for all that lies here
			c.takeNote()
		}
		if c.rest == 0 {
			c.arrived, c.rest = head(c.inbox[c.next:])
			c.next += headSize
		}
		n := copy(b, c.inbox[c.next:c.next+c.rest])
		c.next, c.rest = c.next+n, c.rest-n
		return n, true, nil
	}
	if c.failure != nil {
		return 0, true, c.failure
	}
	err = c.over(c.readBy)
	return 0, err != nil, err
}

// takeNote notes that nothing lies here any more that the reader has not come for.
// The caller holds mu.
func (c *Gathered) takeNote() {
	c.set.lying.Add(-int64(c.lay))
	c.lay = 0
}

// take reads what has come and wakes the reader where that is for it to know. It
// returns how many arrivals that were.
func (c *Gathered) take(ended bool) (lay int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0
	}
	c.more, c.hungUp = true, c.hungUp || ended
	c.makeRoom()
	from := len(c.inbox)
	if from == 0 || cap(c.inbox)-from >= inboxLow {
		lay = c.receive(&c.set.receiver)
	}
	if !c.patient || c.more || c.failure != nil || cap(c.inbox)-len(c.inbox) < inboxLow || seemsOver(c.inbox[from:]) {
		c.swept.Store(false)
		c.wakeUp()
	}
	return lay
}

// quiet reports whether something lies here and nothing has come after it for a
// second.
func (c *Gathered) quiet(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next < len(c.inbox) && now.UnixNano()-int64(c.before) >= int64(longestWait)
}

// lain reports whether an arrival has lain here for long, with others coming after it.
func (c *Gathered) lain(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == len(c.inbox) || c.rest > 0 { // a rest: the reader is at it
		return false
	}
	stamp, _ := head(c.inbox[c.next:])
	return now.UnixNano()-int64(stamp) >= int64(longestLie)
}

// makeRoom forgets what was read, where all was. The caller holds mu.
func (c *Gathered) makeRoom() {
	if c.next == len(c.inbox) {
		c.inbox, c.next = c.inbox[:0], 0
	}
}

// seemsOver reports whether these bytes end an answer: a stream's last event, or
// the last chunk of a chunked body.
func seemsOver(b []byte) bool {
	return bytes.HasSuffix(b, lastChunk) || bytes.Contains(b, lastEvent)
}

var lastChunk, lastEvent = []byte("0\r\n\r\n"), []byte("[DONE]")

// receive takes what the socket has into the inbox, as far as it has room, and
// returns how many arrivals that were: one or none. The caller holds mu.
func (c *Gathered) receive(by *receiver) int64 {
	c.makeRoom()
	if c.inbox == nil {
		c.inbox = make([]byte, 0, inboxSize)
	}
	from := len(c.inbox) + headSize
	room := c.inbox[from:cap(c.inbox)]
	by.into(room)
	there := by.receive(uintptr(c.fd))
	by.iov.Base = nil
	switch {
	case !there:
		c.more = false
	case by.errno != 0:
		c.failure = by.errno
	case by.n == 0:
		c.failure = io.EOF
	default:
		c.more = by.n == len(room) || c.hungUp
		c.inbox = c.inbox[:from+by.n]
		putHead(c.inbox[from-headSize:], by.stamp, by.n)
		if gap := by.stamp - c.before; c.before != 0 && gap > 0 && gap < 4*time.Duration(c.set.tick.Load()) {
			c.set.soon.Add(1)
		}
		c.before = by.stamp
		c.lay++
		return 1
	}
	return 0
}

// Stamp tells one arrival from another: see [Conn.Stamp].
func (c *Gathered) Stamp() time.Duration { return c.arrived }

// Came is when the bytes of the latest read had arrived: see [Conn.Came].
func (c *Gathered) Came() time.Time { return came(c.arrived, c.seen) }

// over is an error where the connection is closed or its time is over.
func (c *Gathered) over(deadline time.Time) error {
	switch {
	case c.closed:
		return net.ErrClosed
	case !deadline.IsZero() && !time.Now().Before(deadline):
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (c *Gathered) failed(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// Write is a TCPConn's.
func (c *Gathered) Write(b []byte) (int, error) {
	n, err := c.WriteBuffers(net.Buffers{b})
	return int(n), err
}

// WriteBuffers writes all of bufs in as few calls as it takes.
func (c *Gathered) WriteBuffers(bufs net.Buffers) (written int64, err error) {
	c.ask()
	for {
		n, errno, err := c.tryWrite(bufs)
		written += int64(n)
		bufs = after(bufs, n)
		switch {
		case err != nil:
			return written, c.failed("write", err)
		case len(bufs) == 0:
			return written, nil
		case errno == syscall.EAGAIN:
			c.awaitRoom()
		case errno != 0 && errno != syscall.EINTR:
			return written, c.failed("write", errno)
		}
	}
}

// ask notes that a request is written.
func (c *Gathered) ask() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer := int64(c.before) - c.asked.UnixNano(); c.before != 0 && !c.asked.IsZero() && answer > 0 {
		if least := c.set.answer.Load(); least == 0 || answer < least {
			c.set.answer.Store(answer) // another may be lost: it is of the same load
		}
	}
	c.asked, c.before, c.patient = time.Now(), 0, false
}

// after is what is left of bufs after n bytes.
func after(bufs net.Buffers, n int) net.Buffers {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if len(bufs) > 0 {
		bufs[0] = bufs[0][n:]
	}
	return bufs
}

func (c *Gathered) tryWrite(bufs net.Buffers) (int, syscall.Errno, error) {
	var pieces [8]syscall.Iovec
	k := 0
	for _, b := range bufs {
		if k < len(pieces) && len(b) > 0 {
			pieces[k].Base = &b[0]
			pieces[k].SetLen(len(b))
			k++
		}
	}
	msg := syscall.Msghdr{Iov: &pieces[0]}
	for ; k > 0; k-- {
		msg.Iovlen++ // whose type is not the same everywhere
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.over(c.writeBy); err != nil {
		return 0, 0, err
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_SENDMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&msg)),
		syscall.MSG_NOSIGNAL)
	if errno != 0 {
		return 0, errno, nil
	}
	return int(n), 0, nil
}

// full are the writers that may wait for room at once, each in a thread of its own.
var full = make(chan struct{}, 64)

// awaitRoom waits until the socket takes bytes again, at most a moment: then
// whether the connection has been closed is asked again.
func (c *Gathered) awaitRoom() {
	full <- struct{}{}
	defer func() { <-full }()
	c.mu.Lock()
	fd, err := -1, c.over(c.writeBy)
	if err == nil {
		// A copy, since the socket may be closed meanwhile and its number used again.
		fd, err = syscall.Dup(int(c.fd))
	}
	c.mu.Unlock()
	if err != nil {
		return
	}
	defer syscall.Close(fd)
	poll := struct {
		fd      int32
		events  int16
		revents int16
	}{fd: int32(fd), events: 4} // POLLOUT
	wait := syscall.NsecToTimespec(int64(20 * time.Millisecond))
	_, _, _ = syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1,
		uintptr(unsafe.Pointer(&wait)), 0, 0, 0)
}

// Close closes the connection and ends a read that waits.
func (c *Gathered) Close() error {
	c.set.mu.Lock() // before mu, as the set does
	defer c.set.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.failed("close", net.ErrClosed)
	}
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
	c.set.byFD[c.fd] = nil
	c.takeNote()
	err := syscall.Close(int(c.fd)) // which takes it out of the epoll set
	c.set.conns.Add(-1)
	c.wakeUp()
	return os.NewSyscallError("close", err)
}

// SetDeadline is a TCPConn's.
func (c *Gathered) SetDeadline(t time.Time) error { return c.setDeadlines(&t, &t) }

// SetReadDeadline is a TCPConn's.
func (c *Gathered) SetReadDeadline(t time.Time) error { return c.setDeadlines(&t, nil) }

// SetWriteDeadline is a TCPConn's.
func (c *Gathered) SetWriteDeadline(t time.Time) error { return c.setDeadlines(nil, &t) }

func (c *Gathered) setDeadlines(read, write *time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.failed("set", net.ErrClosed)
	}
	if write != nil {
		c.writeBy = *write
	}
	if read == nil {
		return nil
	}
	c.readBy = *read
	switch in := time.Until(*read); {
	case read.IsZero():
		if c.timer != nil {
			c.timer.Stop()
		}
	case c.timer == nil:
		c.timer = time.AfterFunc(in, c.wakeUp)
	default:
		c.timer.Reset(in)
	}
	return nil
}

// Pending reports whether a read would return at once: see [Conn.Pending].
func (c *Gathered) Pending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed || c.failure != nil || c.next < len(c.inbox) || lies(int(c.fd))
}
