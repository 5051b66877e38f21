//go:build !386 && !s390x

package timedconn

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gathered is a connection that is read with others, and the server's end of it.
func gathered(t *testing.T, g *Gatherer) (*Gathered, net.Conn) {
	t.Helper()
	alone, far := pipe(t)
	// The kernel begins to stamp a moment after it was first asked to.
	require.Eventually(t, func() bool {
		say(t, far, "x")
		_, err := io.ReadFull(alone, make([]byte, 1))
		require.NoError(t, err)
		return alone.Stamp() != 0
	}, 30*time.Second, time.Millisecond)
	c, err := g.Gather(alone)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c, far
}

func newGatherer(t *testing.T) *Gatherer {
	t.Helper()
	g := NewGatherer()
	t.Cleanup(g.Close)
	return g
}

func say(t *testing.T, far net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(far, text)
	require.NoError(t, err)
}

// Each read has what one read of the socket had, with its own instant, and the end
// comes after all that was said before it.
func TestGatheredReadsInOrder(t *testing.T) {
	c, far := gathered(t, newGatherer(t))
	begin := time.Now()
	var got []byte
	for _, word := range []string{"one ", "two ", "three"} {
		say(t, far, word)
		buf := make([]byte, 100)
		n, err := c.Read(buf)
		require.NoError(t, err)
		got = append(got, buf[:n]...)
		at := c.Came()
		assert.NotZero(t, c.Stamp())
		assert.False(t, at.Before(begin.Add(-time.Millisecond)), "not before it was sent")
	}
	assert.Equal(t, "one two three", string(got))

	say(t, far, "the end")
	far.Close()
	rest, err := io.ReadAll(c)
	assert.NoError(t, err)
	assert.Equal(t, "the end", string(rest))
	_, err = c.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
}

// A small buffer takes one arrival in parts, whose instant stays the same.
func TestGatheredReadInParts(t *testing.T) {
	c, far := gathered(t, newGatherer(t))
	say(t, far, "abcdef")
	var stamps []time.Duration
	var got []byte
	for len(got) < 6 {
		buf := make([]byte, 2)
		n, err := c.Read(buf)
		require.NoError(t, err)
		got, stamps = append(got, buf[:n]...), append(stamps, c.Stamp())
	}
	assert.Equal(t, "abcdef", string(got))
	assert.Equal(t, []time.Duration{stamps[0], stamps[0], stamps[0]}, stamps)
}

// begun makes a reader patient once the first words are there.
func begun(t *testing.T, c *Gathered, far net.Conn) {
	t.Helper()
	say(t, far, "first")
	_, err := io.ReadFull(c, make([]byte, 5))
	require.NoError(t, err)
	_, done, err := c.tryRead(make([]byte, 1))
	require.NoError(t, err)
	require.False(t, done)
	c.Patient()
}

// reading reads in a goroutine, and tells what each read gave.
func reading(c net.Conn) <-chan string {
	out := make(chan string, 100)
	go func() {
		defer close(out)
		for {
			buf := make([]byte, 64<<10)
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			out <- string(buf[:n])
		}
	}()
	return out
}

// A patient reader is woken by the end of an answer, and has every arrival apart.
func TestPatientReaderIsWokenByTheEnd(t *testing.T) {
	for _, end := range []string{"data: [DONE]\n\n", "0\r\n\r\n"} {
		c, far := gathered(t, newGatherer(t))
		begun(t, c, far)
		got := reading(c)
		for _, token := range []string{"a", "b", "c"} {
			say(t, far, token)
			time.Sleep(20 * time.Millisecond) // over a tick: they are read apart
		}
		select {
		case word := <-got:
			// Only the sweep can have woken it, on a machine that was stopped for long.
			assert.True(t, c.SweptUp(), "%q was read before the end", word)
		default:
		}
		say(t, far, end)
		var all string
		for len(all) < 3+len(end) {
			select {
			case word := <-got:
				all += word
			case <-time.After(30 * time.Second):
				t.Fatalf("only %q came", all)
			}
		}
		assert.Equal(t, "abc"+end, all)
	}
}

// Where nothing says that an answer is over, what lies there is read in the end.
func TestPatientReaderIsSweptUp(t *testing.T) {
	c, far := gathered(t, newGatherer(t))
	begun(t, c, far)
	say(t, far, "no end of the known kinds")
	n, err := c.Read(make([]byte, 100))
	require.NoError(t, err)
	assert.Equal(t, 25, n)
	assert.True(t, c.SweptUp())
	_, err = c.Write([]byte("ask"))
	require.NoError(t, err)
	say(t, far, "answer")
	_, err = c.Read(make([]byte, 100))
	require.NoError(t, err)
	assert.False(t, c.SweptUp(), "a request ends patience")
}

// A slow stream's reader is woken before its oldest arrival is too old for its stamp
// to be believed.
func TestPatientReaderIsNotLetWaitForLong(t *testing.T) {
	t.Parallel()
	c, far := gathered(t, newGatherer(t))
	begun(t, c, far)
	began, done := time.Now(), make(chan struct{})
	go func() {
		defer close(done)
		for time.Since(began) < 2*longestLie {
			io.WriteString(far, "token")
			time.Sleep(300 * time.Millisecond)
		}
	}()
	_, err := c.Read(make([]byte, 5))
	now := time.Now()
	require.NoError(t, err)
	if c.SweptUp() {
		t.Skip("the machine was stopped for more than a second")
	}
	assert.Less(t, now.Sub(began), 2*longestLie, "it was not woken while more came")
	assert.InDelta(t, now.Sub(began).Seconds(), now.Sub(c.Came()).Seconds(), 1, "the first that lay there")
	<-done
}

// While more keeps coming a patient reader is let wait, and how much lies there is
// told meanwhile.
func TestPatientReaderIsLetWaitWhileMoreComes(t *testing.T) {
	g := newGatherer(t)
	c, far := gathered(t, g)
	begun(t, c, far)
	got := reading(c)
	latest, longest := time.Now(), time.Duration(0)
	for range 30 {
		say(t, far, "token")
		time.Sleep(longestWait / 20) // over a tick: they are read apart
		longest, latest = max(longest, time.Since(latest)), time.Now()
	}
	select {
	case word := <-got:
		if longest < longestWait/2 { // else the machine was stopped for long
			t.Errorf("%q was read before the end", word)
		}
	default:
		assert.Positive(t, g.Lying())
	}
	say(t, far, "[DONE]")
	for all := ""; len(all) < 30*5+6; {
		select {
		case word := <-got:
			all += word
		case <-time.After(30 * time.Second):
			t.Fatalf("only %q came", all)
		}
	}
	assert.Zero(t, g.Lying())
}

// Much that comes is not kept back, nor does it grow without bound.
func TestPatientReaderOfMuch(t *testing.T) {
	c, far := gathered(t, newGatherer(t))
	c.Patient()
	sent := make([]byte, 3<<20)
	for i := range sent {
		sent[i] = byte(rand.IntN(256))
	}
	go func() { far.Write(sent); far.Close() }()
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	assert.Equal(t, sha256.Sum256(sent), sha256.Sum256(got))
	c.mu.Lock()
	defer c.mu.Unlock()
	assert.LessOrEqual(t, cap(c.inbox), inboxSize)
}

func TestGatheredConnectionEndsAsOthersDo(t *testing.T) {
	g := newGatherer(t)
	c, far := gathered(t, g)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, err := c.Read(make([]byte, 10))
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	assert.True(t, timeout.Timeout())
	require.NoError(t, c.SetDeadline(time.Time{}))
	say(t, far, "still")
	n, err := c.Read(make([]byte, 10))
	assert.NoError(t, err)
	assert.Equal(t, 5, n)
	assert.Equal(t, far.LocalAddr().String(), c.RemoteAddr().String())
	assert.Equal(t, far.RemoteAddr().String(), c.LocalAddr().String())

	ended := make(chan error)
	go func() { _, err := c.Read(make([]byte, 10)); ended <- err }()
	time.Sleep(10 * time.Millisecond)
	require.NoError(t, c.Close())
	assert.ErrorIs(t, <-ended, net.ErrClosed)
	assert.ErrorIs(t, c.Close(), net.ErrClosed)
	_, err = c.Write([]byte("x"))
	assert.ErrorIs(t, err, net.ErrClosed)
	assert.ErrorIs(t, c.SetDeadline(time.Now()), net.ErrClosed)
	assert.True(t, c.Pending())
	_, err = far.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF, "the socket itself is closed")

	g.Close()
	alone, _ := pipe(t)
	alone.stamp = 1
	_, err = g.Gather(alone)
	assert.ErrorIs(t, err, net.ErrClosed)
}

// What is reset is an error, after what came before.
func TestGatheredConnectionThatIsReset(t *testing.T) {
	c, far := gathered(t, newGatherer(t))
	require.NoError(t, far.(*net.TCPConn).SetLinger(0))
	far.Close()
	_, err := io.ReadAll(c)
	assert.ErrorContains(t, err, "reset")
	_, err = c.Write(make([]byte, 10))
	assert.Error(t, err)
}

// A request that does not fit the socket's buffer is written whole, in the pieces
// that it has, to a server that takes its time.
func TestGatheredWriteOfMuch(t *testing.T) {
	c, far := gathered(t, newGatherer(t))
	var bufs net.Buffers
	var all []byte
	for range 20 {
		piece := make([]byte, rand.IntN(900<<10))
		for i := range piece {
			piece[i] = byte(rand.IntN(256))
		}
		bufs, all = append(bufs, piece), append(all, piece...)
	}
	got := make(chan []byte)
	go func() {
		time.Sleep(50 * time.Millisecond)
		b := make([]byte, len(all))
		io.ReadFull(far, b)
		got <- b
	}()
	n, err := c.WriteBuffers(bufs)
	require.NoError(t, err)
	assert.EqualValues(t, len(all), n)
	assert.True(t, bytes.Equal(all, <-got))

	// One that takes nothing runs into the deadline.
	require.NoError(t, c.SetDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = c.Write(make([]byte, 64<<20))
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestGatheredPending(t *testing.T) {
	c, far := gathered(t, newGatherer(t))
	assert.False(t, c.Pending())
	say(t, far, "x")
	assert.Eventually(t, c.Pending, 10*time.Second, time.Millisecond)
}

// Without stamps reading late would be measuring late.
func TestOnlyStampedConnectionsAreGathered(t *testing.T) {
	c, _ := pipe(t)
	_, err := newGatherer(t).Gather(c)
	assert.ErrorContains(t, err, "does not say when")
	require.NoError(t, c.SetDeadline(time.Now()), "it is as it was")
}

func TestTickFollowsTheGaps(t *testing.T) {
	for _, c := range []struct {
		name           string
		tick           time.Duration
		arrivals, soon int64
		answer, want   time.Duration
	}{
		{"none came soon", time.Millisecond, 1000, 1, 0, 1250 * time.Microsecond},
		{"a few", time.Millisecond, 1000, 5, 0, time.Millisecond},
		{"many", time.Millisecond, 1000, 11, 0, time.Millisecond / 2},
		{"at most", longestTick, 1000, 0, 0, longestTick},
		{"at least", shortestTick, 1000, 1000, 0, shortestTick},
		{"short answers", 4 * time.Millisecond, 1000, 0, 100 * time.Millisecond, time.Millisecond},
	} {
		s := &set{}
		s.tick.Store(int64(c.tick))
		s.soon.Store(c.soon)
		s.answer.Store(int64(c.answer))
		s.adapt(int(c.arrivals))
		assert.Equal(t, c.want, time.Duration(s.tick.Load()), c.name)
		assert.Zero(t, s.soon.Load(), c.name)
	}
}

// Many at once, over more than one set, closed while they are read.
func TestManyGatheredConnections(t *testing.T) {
	g := newGatherer(t)
	var all sync.WaitGroup
	for i := range 100 {
		c, far := gathered(t, g)
		sum := make(chan []byte, 1)
		all.Go(func() {
			said := sha256.New()
			for range 50 {
				word := make([]byte, 1+rand.IntN(2000))
				said.Write(word)
				if _, err := far.Write(word); err != nil {
					break
				}
				time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
			}
			far.Close()
			sum <- said.Sum(nil)
		})
		all.Go(func() {
			if i%2 == 0 {
				c.Patient()
			}
			if i%10 == 9 {
				time.AfterFunc(20*time.Millisecond, func() { c.Close() })
			}
			heard := sha256.New()
			_, err := io.Copy(heard, c)
			switch {
			case i%10 == 9 && errors.Is(err, net.ErrClosed):
			case assert.NoError(t, err):
				assert.Equal(t, <-sum, heard.Sum(nil))
			}
		})
	}
	all.Wait()
	assert.Positive(t, g.Tick())
}

func TestGatheredReadAllocatesNothing(t *testing.T) {
	c, far := gathered(t, newGatherer(t))
	buf := make([]byte, 10)
	assert.Less(t, testing.AllocsPerRun(100, func() {
		far.Write(buf)
		if _, err := io.ReadFull(c, buf); err != nil {
			t.Fatal(err)
		}
	}), 1.0)
}
