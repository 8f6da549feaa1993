import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpClient.Version;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLHandshakeException;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.TrustManagerFactory;

/** Java's HttpClient over each version of TLS and HTTP. The arguments are the port and a file with the certificate of the authority. */
class Https {
    static void check(boolean is, Object what) {
        if (!is) throw new AssertionError(String.valueOf(what));
    }

    static SSLContext trusting(String file) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (FileInputStream in = new FileInputStream(file)) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    public static void main(String[] arguments) throws Exception {
        String origin = "https://localhost:" + arguments[0];
        SSLContext context = trusting(arguments[1]);
        for (String tls : new String[] {"TLSv1.2", "TLSv1.3"}) {
            for (Version version : new Version[] {Version.HTTP_1_1, Version.HTTP_2}) {
                String what = tls + " " + version;
                HttpClient client = HttpClient.newBuilder().sslContext(context).version(version)
                        .sslParameters(new SSLParameters(null, new String[] {tls})).build();
                // The first alone: the others then share its connection.
                HttpRequest upload = HttpRequest.newBuilder(URI.create(origin + "/upload"))
                        .POST(BodyPublishers.ofByteArray(new byte[1 << 20])).build();
                HttpResponse<String> said = client.send(upload, BodyHandlers.ofString());
                check(said.body().contains("\"bytes_received\":1048576"), what + said.body());
                List<CompletableFuture<HttpResponse<byte[]>>> all = new ArrayList<>();
                for (int n = 0; n < 20; n++) {
                    URI uri = URI.create(origin + "/bin/" + (n * 3001 + 1));
                    all.add(client.sendAsync(HttpRequest.newBuilder(uri).build(), BodyHandlers.ofByteArray()));
                }
                for (int n = 0; n < all.size(); n++) {
                    HttpResponse<byte[]> response = all.get(n).get();
                    check(response.statusCode() == 200 && response.body().length == n * 3001 + 1, what);
                    check(response.version() == version, what + " " + response.version());
                    check(response.sslSession().get().getProtocol().equals(tls), what);
                }
            }
        }
        HttpClient stranger = HttpClient.newHttpClient();
        try {
            stranger.send(HttpRequest.newBuilder(URI.create(origin + "/health")).build(), BodyHandlers.ofString());
            throw new AssertionError("an unknown authority is accepted");
        } catch (SSLHandshakeException e) {
            // As it should.
        }
        System.exit(0); // its threads would wait
    }
}
