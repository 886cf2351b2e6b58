package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"syscall"
)

// sftpServerName is what this program is called as the file server of SSH: SFTP version 3 on standard input and output, as the user who started it.
const sftpServerName = "sftp-server"

// Codes of a status message.
const (
	sftpOK            = 0
	sftpEOF           = 1
	sftpNoSuchFile    = 2
	sftpDenied        = 3
	sftpFailure       = 4
	sftpBadMessage    = 5
	sftpNotSupported  = 8
	sftpVersionNumber = 3
)

var errSFTPUnsupported = errors.New("operation unsupported")

// sftpServer answers one client, a request at a time, in order, as OpenSSH's does: what one request wrote the next one reads.
type sftpServer struct {
	out     *bufio.Writer
	answer  sftpAnswer
	handles sftpHandles
	names   ownerNames
	data    []byte
}

// runSFTPServer is the program: its exit status.
func runSFTPServer(in io.Reader, out io.Writer, complain io.Writer) int {
	if err := serveSFTP(in, out); err != nil {
		_, _ = io.WriteString(complain, sftpServerName+": "+err.Error()+"\n") // nobody may be there to read it
		return 1
	}
	return 0
}

// serveSFTP answers until the input ends, which is how clients leave.
func serveSFTP(in io.Reader, out io.Writer) error {
	reader := bufio.NewReaderSize(in, 64<<10)
	s := &sftpServer{out: bufio.NewWriterSize(out, 64<<10)}
	defer s.handles.closeAll()
	var buffer []byte
	for {
		packet, grown, err := readSFTPPacket(reader, buffer)
		buffer = grown
		if errors.Is(err, io.EOF) {
			return s.out.Flush()
		}
		if err != nil {
			return err
		}
		if err := s.handle(packet); err != nil {
			return err
		}
		// Answers wait for more only while there is more to answer.
		if reader.Buffered() == 0 {
			if err := s.out.Flush(); err != nil {
				return err
			}
		}
	}
}

// handle answers one message. It fails when the conversation cannot go on.
func (s *sftpServer) handle(packet []byte) error {
	kind, message := packet[0], &sftpReader{rest: packet[1:]}
	id := message.uint32() // of the first message: the client's version
	if message.bad {
		return errSFTPMalformed
	}
	if kind == sftpInit {
		s.hello()
	} else if err := s.request(kind, id, message); err != nil {
		s.status(id, err)
	}
	_, err := s.out.Write(s.answer.finish())
	return err
}

// hello tells the version, which takes the place of an id, and the extensions.
func (s *sftpServer) hello() {
	s.answer.begin(sftpVersion, sftpVersionNumber)
	for _, extension := range sftpExtensions {
		s.answer.string(extension.name)
		s.answer.string(extension.version)
	}
}

// request carries one out and puts its answer together; an error is told as a status.
func (s *sftpServer) request(kind byte, id uint32, m *sftpReader) error {
	switch kind {
	case sftpOpen:
		return s.open(id, m)
	case sftpClose:
		return s.close(id, m)
	case sftpRead:
		return s.read(id, m)
	case sftpWrite:
		return s.write(id, m)
	case sftpOpendir:
		return s.opendir(id, m)
	case sftpReaddir:
		return s.readdir(id, m)
	case sftpFstat:
		return s.fstat(id, m)
	case sftpFsetstat:
		return s.fsetstat(id, m)
	case sftpExtended:
		return s.extended(id, m)
	default:
		return s.pathRequest(kind, id, m)
	}
}

// status puts a status together; nil is success.
func (s *sftpServer) status(id uint32, err error) {
	code, text := sftpCodeOf(err)
	s.answer.begin(sftpStatus, id)
	s.answer.uint32(code)
	s.answer.string(text)
	s.answer.string("") // language
}

// done answers what has no answer but its success.
func (s *sftpServer) done(id uint32, err error) error {
	if err == nil {
		s.status(id, nil)
	}
	return err
}

func sftpCodeOf(err error) (code uint32, text string) {
	var errno syscall.Errno
	switch {
	case err == nil:
		return sftpOK, "Success"
	case errors.Is(err, io.EOF):
		return sftpEOF, "End of file"
	case errors.Is(err, errSFTPMalformed):
		return sftpBadMessage, "Bad message"
	case errors.Is(err, errSFTPUnsupported):
		return sftpNotSupported, "Operation unsupported"
	case errors.As(err, &errno):
	default:
		return sftpFailure, err.Error()
	}
	switch errno {
	case syscall.ENOENT, syscall.ENOTDIR, syscall.EBADF, syscall.ELOOP:
		return sftpNoSuchFile, errno.Error()
	case syscall.EPERM, syscall.EACCES, syscall.EFAULT:
		return sftpDenied, errno.Error()
	case syscall.ENAMETOOLONG, syscall.EINVAL:
		return sftpBadMessage, errno.Error()
	case syscall.ENOSYS:
		return sftpNotSupported, errno.Error()
	default:
		return sftpFailure, errno.Error()
	}
}

// sftpHandles are the open files and directories of a client, named by their place.
type sftpHandles struct{ open []*sftpHandleFile }

type sftpHandleFile struct {
	file *os.File
	dir  *sftpDirectory // nil: it is a file
}

// sftpMaxHandles leaves descriptors for what a request itself opens, of the usual 1,024.
const sftpMaxHandles = 1000

// add gives a place to what was opened; at the limit it closes it.
func (h *sftpHandles) add(opened *sftpHandleFile) (place uint32, err error) {
	for i, other := range h.open {
		if other == nil {
			h.open[i] = opened
			return uint32(i), nil
		}
	}
	if len(h.open) >= sftpMaxHandles {
		_ = opened.file.Close() // nothing was written to it
		return 0, syscall.EMFILE
	}
	h.open = append(h.open, opened)
	return uint32(len(h.open) - 1), nil
}

// find reads a handle from a message.
func (h *sftpHandles) find(m *sftpReader) (*sftpHandleFile, uint32, error) {
	name := &sftpReader{rest: m.bytes()}
	place := name.uint32()
	if m.bad || name.bad || len(name.rest) > 0 || int(place) >= len(h.open) || h.open[place] == nil {
		return nil, 0, syscall.EBADF
	}
	return h.open[place], place, nil
}

// file is a handle that is no directory.
func (h *sftpHandles) file(m *sftpReader) (*os.File, error) {
	found, _, err := h.find(m)
	if err != nil {
		return nil, err
	}
	if found.dir != nil {
		return nil, syscall.EISDIR
	}
	return found.file, nil
}

func (h *sftpHandles) closeAll() {
	for _, opened := range h.open {
		if opened != nil {
			_ = opened.file.Close() // the client has gone and hears nothing
		}
	}
}
