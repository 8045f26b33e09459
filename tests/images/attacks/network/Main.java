public class Main {
    public static void main(String[] args) {
        try {
            new java.net.Socket("127.0.0.1", {{PORT}});
            System.out.println("connected");
        } catch (java.io.IOException refused) {
            System.out.println("none");
        }
    }
}
