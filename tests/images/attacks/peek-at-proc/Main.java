import java.nio.file.*;

public class Main {
    public static void main(String[] args) {
        for (String file : new String[] {"/proc/1/mem", "/proc/1/environ", "/proc/1/maps", "/proc/kcore"}) {
            try {
                Files.newInputStream(Path.of(file)).read();
                System.out.println(file);
            } catch (java.io.IOException refused) {
            }
        }
        System.out.println("nothing");
    }
}
