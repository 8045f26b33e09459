public class Main {
    public static void main(String[] args) {
        ProcessHandle.of(1).ifPresent(ProcessHandle::destroyForcibly);
        ProcessHandle.current().parent().ifPresent(ProcessHandle::destroyForcibly);
        System.out.println("alive");
    }
}
