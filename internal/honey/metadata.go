package honey

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// ServeMetadata answers at the clouds' metadata address the way one cloud does
// (AWS IMDSv2), with honey. Whoever asks for a role's credentials gets some; to
// ask is no alarm, since libraries look whether they run in a cloud. It ends when
// the listener is closed.
func (k Kit) ServeMetadata(l net.Listener) (stop func()) {
	srv := &http.Server{Handler: http.HandlerFunc(k.metadata), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	go srv.Serve(l) //nolint:errcheck // it ends with the zone
	return func() { _ = srv.Close() }
}

func (k Kit) metadata(w http.ResponseWriter, r *http.Request) {
	const roles = "/latest/meta-data/iam/security-credentials/"
	w.Header().Set("Server", "EC2ws")
	switch {
	case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
		fmt.Fprint(w, k.tokens[Metadata])
	case r.Method == http.MethodGet && r.URL.Path == roles:
		fmt.Fprint(w, "release")
	case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, roles):
		t := k.tokens[Metadata]
		fmt.Fprintf(w, `{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"ASIA%s","SecretAccessKey":%q,"Token":%q,"Expiration":%q}`,
			strings.ToUpper(t[:16]), t, t, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	default:
		http.NotFound(w, r)
	}
}
