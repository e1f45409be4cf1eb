import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.regex.Pattern;

/**
 * A Java program that uses Gini from a pod: it asks for the documents of the user whose token is mounted, once a second.
 *
 * <pre>
 * GINI_TOKEN_DIR  the folder where the Secret is mounted
 * GINI_URL        Gini's Pay API: https://pay-api.gini.net
 * GINI_REQUESTS   end after so many requests; never, where it is not set
 * </pre>
 *
 * It ends with exit code 2 if one of them is missing or cannot be used, and with 1 if none of the requests succeeded.
 *
 * Needs Java 17 or newer and nothing else: {@code java Documents.java}. Token, MountedToken and Gini are meant to be copied.
 */
public final class Documents {

    /** What the mounted Secret held at one moment. A record would show all of it when it is printed; this one does not. */
    record Token(String authorization, String expiresAt) {
        @Override
        public String toString() {
            return "Token[redacted, valid until " + expiresAt + "]";
        }
    }

    /** The token in the folder where a pod has the Secret mounted. Read it for each request: it is renewed. */
    static final class MountedToken {
        private static final Pattern HEADER = Pattern.compile("[!-~]+( [!-~]+)*");

        private final Path folder;

        MountedToken(Path folder) {
            this.folder = folder;
        }

        /** Reads header and expiry of one and the same write of the Secret. */
        Token read() throws IOException {
            for (int attempt = 1; ; attempt++) {
                Path generation = generation();
                try {
                    return new Token(content(generation, "authorization"), content(generation, "expires_at"));
                } catch (NoSuchFileException e) {
                    // The kubelet has put other files there and removed these: read those. Otherwise the file is really missing.
                    if (attempt == 10 || generation.equals(generation())) {
                        throw e;
                    }
                }
            }
        }

        /**
         * The folder that ..data points to now. The kubelet makes a new one for each write of the Secret; the files that are seen
         * in the folder are links through ..data, so two of them could be of two writes.
         */
        private Path generation() throws IOException {
            try {
                return folder.resolve(Files.readSymbolicLink(folder.resolve("..data")));
            } catch (NoSuchFileException e) {
                return folder; // plain files, as on a developer's machine
            }
        }

        private static String content(Path folder, String name) throws IOException {
            String text = Files.readString(folder.resolve(name), StandardCharsets.ISO_8859_1).stripTrailing();
            if (!HEADER.matcher(text).matches()) {
                throw new IOException(name + " cannot be sent as a header"); // HttpRequest would say so too, and show the token
            }
            return text;
        }
    }

    /** Sends requests with the newest token to Gini, and to no other host: HttpClient follows no redirects unless it is told to. */
    static final class Gini {
        private final HttpClient http = HttpClient.newBuilder()
                .followRedirects(HttpClient.Redirect.NEVER)
                .connectTimeout(Duration.ofSeconds(15))
                .build();
        private final String url;
        private final MountedToken token;

        /** An answer, and the token that was sent for it. */
        record Answer(int status, byte[] body, Token token) {}

        Gini(String url, MountedToken token) {
            this.url = url.replaceAll("/+$", "");
            this.token = token;
        }

        Answer get(String path) throws IOException, InterruptedException {
            if (!path.startsWith("/")) {
                throw new IllegalArgumentException("a path begins with a slash; anything else could name another host");
            }
            Token sent = token.read();
            Answer answer = send(path, sent);
            if (answer.status() != 401) {
                return answer;
            }
            // The token has ended. Where a newer one is mounted by now, try that, once.
            Token newest = token.read();
            return newest.authorization().equals(sent.authorization()) ? answer : send(path, newest);
        }

        private Answer send(String path, Token token) throws IOException, InterruptedException {
            HttpRequest request = HttpRequest.newBuilder(URI.create(url + path))
                    .timeout(Duration.ofSeconds(30))
                    .header("Accept", "application/vnd.gini.v1+json")
                    .header("Authorization", token.authorization()) // of a JWT: X-JWT-Authorization, from the file x_jwt_authorization
                    .build();
            HttpResponse<byte[]> response = http.send(request, HttpResponse.BodyHandlers.ofByteArray());
            return new Answer(response.statusCode(), response.body(), token);
        }
    }

    /** What the program was not told; empty where it knows all. */
    private static String missing(String folder, String url, String requests) {
        if (folder.isEmpty()) {
            return "GINI_TOKEN_DIR is not set: it must name the folder where the Secret is mounted.";
        }
        if (url.isEmpty()) {
            return "GINI_URL is not set: it must be the URL of Gini's Pay API, https://pay-api.gini.net.";
        }
        if (!url.matches("https?://.+")) {
            return "GINI_URL must begin with https:// or http://, as https://pay-api.gini.net does.";
        }
        return requests.matches("([1-9][0-9]{0,8})?") ? "" : "GINI_REQUESTS must be a number from 1 to 999999999, or absent.";
    }

    private static String environment(String name) {
        return System.getenv().getOrDefault(name, "");
    }

    private static void end(int code, String sentence) {
        System.err.println(sentence);
        System.exit(code);
    }

    public static void main(String[] args) throws InterruptedException {
        String folder = environment("GINI_TOKEN_DIR");
        String url = environment("GINI_URL");
        String requests = environment("GINI_REQUESTS");
        String missing = missing(folder, url, requests);
        if (!missing.isEmpty()) {
            end(2, missing);
        }
        Gini gini = new Gini(url, new MountedToken(Path.of(folder)));
        boolean succeeded = false;
        for (int n = 1; ; n++) {
            String outcome;
            try {
                Gini.Answer answer = gini.get("/documents");
                succeeded |= answer.status() / 100 == 2;
                outcome = answer.status() + " token valid until " + answer.token().expiresAt();
            } catch (IOException | IllegalArgumentException e) { // the latter of a URL that cannot be used
                outcome = "failed: " + e;
            }
            System.out.println(Instant.now().truncatedTo(ChronoUnit.SECONDS) + " " + outcome);
            if (requests.equals(Integer.toString(n))) {
                if (!succeeded) {
                    end(1, "None of the requests succeeded.");
                }
                return;
            }
            Thread.sleep(1000);
        }
    }

    private Documents() {}
}
