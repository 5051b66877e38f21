package hint

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestLine(t *testing.T) {
	inner := New(errors.New("connection refused"), "look into the log")
	full := New(errors.New("disk full"), "free some space")
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("no advice"), "no advice"},
		{inner, "connection refused: look into the log"},
		{fmt.Errorf("score: %w (tried twice)", inner), "score: connection refused (tried twice): look into the log"},
		{New(fmt.Errorf("no server: %w", inner), "start it"), "no server: connection refused: start it"},
		{New(fmt.Errorf("interrupted: %w", inner), ""), "interrupted: connection refused"},
		{errors.New("two\n  lines\r\n"), "two; lines"},
		{errors.Join(inner, full), "connection refused: look into the log; disk full: free some space"},
		{errors.Join(full, nil, errors.Join(full, inner)), "disk full: free some space; connection refused: look into the log"},
		{fmt.Errorf("%w, %w", inner, full), "connection refused, disk full: look into the log"},
	} {
		assert.Equal(t, c.want, Line(c.err))
	}
}

func TestErrorsStayWhatTheyWere(t *testing.T) {
	err := New(fmt.Errorf("write x: %w", syscall.ENOSPC), "free some space")
	assert.ErrorIs(t, err, syscall.ENOSPC)
	assert.EqualError(t, err, "write x: "+syscall.ENOSPC.Error())
	assert.NoError(t, New(nil, "nothing"))
	assert.Equal(t, "first", For(Or(New(err, "first"), "second")))
	assert.Equal(t, "second", For(Or(errors.New("x"), "second")))
	assert.Equal(t, "", For(Or(New(err, ""), "second")), "an empty advice is one: the text says it all")
}

func TestFolder(t *testing.T) {
	for _, c := range []struct {
		is   error
		want string
	}{
		{syscall.ENOSPC, "free some space, or choose another folder with CACHE_DIR"},
		{syscall.EDQUOT, "free some space, or choose another folder with CACHE_DIR"},
		{&fs.PathError{Op: "mkdir", Path: "/data", Err: syscall.EACCES}, "choose a folder that you may write to, as CACHE_DIR=$HOME/cache"},
		{syscall.EROFS, "choose a folder that you may write to, as CACHE_DIR=$HOME/cache"},
		{syscall.ENOTDIR, "choose a folder that you may write to, as CACHE_DIR=$HOME/cache"},
		{errors.New("something else"), ""},
	} {
		assert.Equal(t, c.want, For(Folder(c.is, "CACHE_DIR")), c.is)
	}
	assert.NoError(t, Folder(nil, "CACHE_DIR"))
}
