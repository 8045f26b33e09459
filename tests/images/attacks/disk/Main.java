import java.nio.file.*;

public class Main {
    public static void main(String[] args) {
        try {
            for (int i = 0; i < 1000; i++) Files.write(Path.of("f" + i), new byte[6000000]);
            System.out.println("there was room for 6 GB");
        } catch (java.io.IOException full) {
            System.out.println("full");
        }
    }
}
