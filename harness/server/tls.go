package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"

	"inferbench/harness/textfile"
)

// Client is an HTTP client whose connections trust the system's roots and, where
// caFile is given, the PEM certificates in it as well. Its pool is wide enough
// for any CONC. It goes to the server itself, whatever HTTP_PROXY says, as the
// timed requests do: a proxy between would be measured too. A certificate that
// cannot be verified is an error everywhere in the suite: there is no setting
// that skips the check.
func Client(caFile string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.MaxIdleConns = 0
	transport.MaxIdleConnsPerHost = 4096
	if caFile != "" {
		roots, err := Roots(caFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport}, nil
}

// Roots are the system's root certificates and those in caFile.
func Roots(caFile string) (*x509.CertPool, error) {
	pem, err := textfile.Read(caFile)
	if err != nil {
		return nil, err // names the file
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // no system roots here, as in a bare container
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: %w", caFile, errNoCertificate)
	}
	return roots, nil
}

var errNoCertificate = errors.New("holds no PEM certificate: want the CA's -----BEGIN CERTIFICATE----- block")

// TLSConfig is how the target's connections are verified, for a client that
// dials by itself. It is a copy, and never nil.
func (t *Server) TLSConfig() *tls.Config {
	if tr, ok := t.http.Transport.(*http.Transport); ok && tr.TLSClientConfig != nil {
		return tr.TLSClientConfig.Clone()
	}
	return &tls.Config{MinVersion: tls.VersionTLS12}
}
