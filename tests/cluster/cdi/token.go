package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Issuers and lifetimes: pkg/common/common.go, pkg/apiserver/webhooks/handler.go,
// pkg/controller/datavolume/controller-base.go (newLongTermCloneTokenGenerator).
const (
	shortIssuer   = "cdi-apiserver"
	longIssuer    = "cdi-deployment"
	shortLifetime = 5 * time.Minute
	longLifetime  = 10 * 365 * 24 * time.Hour
	tokenLeeway   = 10 * time.Second
)

// payload is what a clone token says (pkg/token/token.go).
type payload struct {
	Operation string                      `json:"operation,omitempty"`
	Name      string                      `json:"name,omitempty"`
	Namespace string                      `json:"namespace,omitempty"`
	Resource  metav1.GroupVersionResource `json:"resource,omitempty"`
	Params    map[string]string           `json:"params,omitempty"`
}

type claimsOfToken struct {
	payload
	Issuer    string `json:"iss"`
	IssuedAt  int64  `json:"iat"`
	NotBefore int64  `json:"nbf"`
	Expiry    int64  `json:"exp"`
}

// A signer makes and checks tokens: JWTs with PS256, one key for both issuers.
type signer struct {
	key *rsa.PrivateKey
	now func() time.Time
}

// newSigner keeps its key in the folder, so that tokens outlive the process; CDI keeps it in the
// Secret cdi-api-signing-key.
func newSigner(folder string) (*signer, error) {
	path := filepath.Join(folder, "token-key.pem")
	if folder != "" {
		if data, err := os.ReadFile(path); err == nil {
			block, _ := pem.Decode(data)
			if block == nil {
				return nil, fmt.Errorf("%s holds no PEM block", path)
			}
			key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
			return &signer{key: key, now: time.Now}, err
		}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil || folder == "" {
		return &signer{key: key, now: time.Now}, err
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	return &signer{key: key, now: time.Now}, os.WriteFile(path, pem.EncodeToMemory(block), 0o600)
}

var encoding = base64.RawURLEncoding

const header = `{"alg":"PS256"}`

var saltOption = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}

func (s *signer) sign(issuer string, lifetime time.Duration, p payload) (string, error) {
	now := s.now()
	body, err := json.Marshal(claimsOfToken{payload: p, Issuer: issuer, IssuedAt: now.Unix(),
		NotBefore: now.Unix(), Expiry: now.Add(lifetime).Unix()})
	if err != nil {
		return "", err
	}
	signed := encoding.EncodeToString([]byte(header)) + "." + encoding.EncodeToString(body)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPSS(rand.Reader, s.key, crypto.SHA256, digest[:], saltOption)
	return signed + "." + encoding.EncodeToString(signature), err
}

var errBadToken = errors.New("go-jose/go-jose: error in cryptographic primitive")

func (s *signer) verify(issuer, token string) (*payload, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("go-jose/go-jose: compact JWS format must have three parts")
	}
	head, err := encoding.DecodeString(parts[0])
	if err != nil || string(head) != header {
		return nil, errBadToken
	}
	signature, err := encoding.DecodeString(parts[2])
	if err != nil {
		return nil, errBadToken
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPSS(&s.key.PublicKey, crypto.SHA256, digest[:], signature, saltOption) != nil {
		return nil, errBadToken
	}
	body, err := encoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	var c claimsOfToken
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, err
	}
	switch now := s.now(); {
	case c.Issuer != issuer:
		return nil, errors.New("validation failed, invalid issuer claim (iss)")
	case now.Add(tokenLeeway).Before(time.Unix(c.NotBefore, 0)):
		return nil, errors.New("validation failed, token not valid yet (nbf)")
	case now.Add(-tokenLeeway).After(time.Unix(c.Expiry, 0)):
		return nil, errors.New("validation failed, token is expired (exp)")
	}
	return &c.payload, nil
}

// fits says whether the token permits this clone (pkg/controller/common/util.go, validateTokenData).
func (p *payload) fits(source sourceRef, targetNamespace, targetName, targetUID string) bool {
	uid := p.Params["uid"]
	return p.Operation == "Clone" && p.Name == source.name && p.Namespace == source.namespace &&
		p.Resource.Resource == source.tokenResource().Resource &&
		p.Params["targetNamespace"] == targetNamespace && p.Params["targetName"] == targetName &&
		(uid == "" || uid == targetUID)
}
